"""What may happen to a plan: distributions, a policy that cannot see the future, and what matters."""
