"""The verbs of the command line, one file each: `main(argv) -> exit code`. Imported when chosen."""
