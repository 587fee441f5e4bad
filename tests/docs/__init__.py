"""What the documents say is run, paid for, and compared with the code."""
