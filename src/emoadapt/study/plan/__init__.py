"""What a study would compute, and the hours left: before anything runs, whether its corpora are here or not. Light."""
