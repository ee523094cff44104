"""Plan of a study's jobs and hours, also without its corpora. Light."""
