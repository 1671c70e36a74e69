"""Event files: TensorFlow's record files of `Event` protos, written and read without TensorFlow."""

import os
import socket
import struct
import time

from keras_dlopt.tensorboard.crc32c import masked_crc32c

_LARGEST = 2**30  # bytes of one record; a length beyond it is a damaged file


class EventFile:
    """A new event file in `folder`, to be read after those that are there already.

    Args:
        folder: made if it does not exist.
    """

    def __init__(self, folder):
        from tensorboard.compat.proto import event_pb2

        os.makedirs(folder, exist_ok=True)
        # Readers take a folder's files in the order of their names.
        seconds, millionths = divmod(time.time_ns() // 1000, 10**6)
        name = f"events.out.tfevents.{seconds:010d}.{millionths:06d}.{socket.gethostname()}.{os.getpid()}.keras_dlopt"
        self._file = open(os.path.join(folder, name), "xb")
        self.write(event_pb2.Event(wall_time=time.time(), file_version="brain.Event:2"))

    def write(self, event):
        """Appends an `Event`; `flush` makes it visible to readers."""
        data = event.SerializeToString()
        length = struct.pack("<Q", len(data))
        checks = struct.pack("<I", masked_crc32c(length)), struct.pack("<I", masked_crc32c(data))
        self._file.write(b"".join((length, checks[0], data, checks[1])))

    def flush(self):
        self._file.flush()

    def close(self):
        self._file.close()


def read_events(path):
    """Yields the events of a file up to its end, or up to where it is cut off.

    Raises:
        ValueError: where the file is damaged; what came before it has been yielded.
    """
    from google.protobuf.message import DecodeError
    from tensorboard.compat.proto import event_pb2

    with open(path, "rb") as file:
        while len(head := file.read(12)) == 12:
            (size, check), place = struct.unpack("<QI", head), file.tell() - 12
            damaged = ValueError(f"{path} is damaged at byte {place}: what follows cannot be read.")
            if check != masked_crc32c(head[:8]) or size > _LARGEST:
                raise damaged
            data = file.read(size + 4)
            if len(data) < size + 4:
                return  # its writer is at work, or was cut off
            if data[size:] != struct.pack("<I", masked_crc32c(data[:size])):
                raise damaged
            try:
                yield event_pb2.Event.FromString(data[:size])
            except DecodeError:
                raise damaged from None
