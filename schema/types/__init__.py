"""What is published: one module a GraphQL type."""
