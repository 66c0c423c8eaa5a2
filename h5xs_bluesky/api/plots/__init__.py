"""Pictures of curves, patterns and maps; each function draws into axes that it is given."""
