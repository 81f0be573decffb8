"""The course's code and its rivals on the same work, in one run: `make bench`."""
