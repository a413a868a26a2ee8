"""Synthetic nights and the contract suite, for plugin authors and for our own tests."""
