"""wengert against its peers and against the machine: see README.md in this directory."""
