"""The conversion service as its customers and its operator meet it: in process, and on real servers."""
