"""Model backends: `backend` defines the interface; each way of running a model has a module or package."""
