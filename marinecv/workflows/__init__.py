"""What users ask for: functions on typed arguments."""
