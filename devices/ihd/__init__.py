"""The in-home display: shows what the meters last said, knows nothing else, holds no keys."""
