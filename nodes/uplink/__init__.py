"""The way to the cloud: what a node keeps for it, the client of its interface, and the task that runs both."""
