"""What `ResumeExactly` is made of: files, and what of a run goes into them."""
