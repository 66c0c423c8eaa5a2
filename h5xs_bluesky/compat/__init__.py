"""Names under which earlier programs' notebooks find what they need here."""
