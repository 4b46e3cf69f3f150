"""When everything happens and where it lies: orders of actions, rounds that overlap, local memory."""
