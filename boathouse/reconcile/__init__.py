"""Level-triggered reconciliation: a lease table, workers, and three outcomes. Knows no domain words.

A wake-up carries no data: a reconciler looks at the wish and at what is really there, every time.
"""

from boathouse.reconcile.leases import ALL, wake, wake_all
from boathouse.reconcile.outcome import SETTLED, Outcome, again
from boathouse.reconcile.precedence import Precedence
from boathouse.reconcile.workers import Reconcile, Workers, settle

__all__ = ["ALL", "SETTLED", "Outcome", "Precedence", "Reconcile", "Workers", "again", "settle", "wake", "wake_all"]
