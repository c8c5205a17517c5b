"""One page about runs that holds all it shows: a file to look at, send and keep."""
