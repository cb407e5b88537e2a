"""The bodies that make an index, as JSON that curl can send too."""
