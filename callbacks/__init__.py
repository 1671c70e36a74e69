"""Everything a user puts in `model.fit(callbacks=[...])`."""
