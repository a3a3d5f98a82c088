"""Models as backends: what answers a request. `backend` has the seam; a package or module for each way to run one."""
