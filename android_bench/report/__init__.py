"""What the record of a run says: statistics, tables, pictures, the page."""
