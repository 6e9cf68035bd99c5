"""How an operation runs: parsed, checked and measured once, then executed."""
