"""The networks and their trained weights. Cards are read without torch, networks need it."""
