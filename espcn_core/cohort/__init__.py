"""Many volumes: what there is to do, what was done, several at a time, and any interruption."""
