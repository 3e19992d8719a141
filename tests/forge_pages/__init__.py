"""The local forge's pages and its GraphQL, as people and the bot meet them."""
