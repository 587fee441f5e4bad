"""What was written for the first published version of this package, and what that sold: both stay good."""
