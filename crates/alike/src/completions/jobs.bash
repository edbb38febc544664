
# The jobs of the config, beside what was offered above; [JOB] is no word to type.
_alike_and_jobs() {
    local offered=() word
    # Where a job is meant, no file is.
    [[ $3 == --job ]] && COMPREPLY=() || _alike "$@"
    for word in "${COMPREPLY[@]}"; do
        [[ $word == \[JOB\] ]] || offered+=("$word")
    done
    COMPREPLY=("${offered[@]}")
    if [[ $3 == --job || $COMP_CWORD -eq 2 && ${COMP_WORDS[1]} == @(pass|status) && $2 != -* ]]; then
        while IFS= read -r word; do
            [[ $word == "$2"* ]] && COMPREPLY+=("$(printf %q "$word")")
        done < <("${COMP_WORDS[0]}" config jobs 2>/dev/null)
    fi
}
complete -F _alike_and_jobs -o nosort -o bashdefault -o default alike 2>/dev/null ||
    complete -F _alike_and_jobs -o bashdefault -o default alike
