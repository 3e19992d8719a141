"""The forge's GraphQL API on GitHub's schema: reads of a conversation, and the deeds that REST lacks."""
