"""What requests and answers look like in JSON: a module for each resource."""
