
# The jobs of the config.
complete -c alike -n "__fish_seen_subcommand_from pass status" -f -a "(alike config jobs 2>/dev/null)"
complete -c alike -n "__fish_seen_subcommand_from log trash undo restore check" -l job -x -a "(alike config jobs 2>/dev/null)"
