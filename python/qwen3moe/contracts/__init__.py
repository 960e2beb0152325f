"""Contracts: what is promised, what would show that it is not kept, and the evidence that it was."""
