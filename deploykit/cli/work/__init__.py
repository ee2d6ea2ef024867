"""What each command does once its options are read; a command imports its module when it runs, not for --help."""
