"""Many images at once: where they come from, how they are sent, and what is remembered of it."""
