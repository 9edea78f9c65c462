"""Run statistics: how runs ended, how long they took and waited, and why they failed."""
