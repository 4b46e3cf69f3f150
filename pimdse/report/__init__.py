"""What a sweep leaves behind: tables, a picture, a page, and how to make it again."""
