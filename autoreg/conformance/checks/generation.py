"""Generation."""

__all__: list[str] = []
