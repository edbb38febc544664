
# The jobs of the config.
_alike_jobs() {
    local -a jobs=("${(@f)$(alike config jobs 2>/dev/null)}")
    compadd -a jobs
}
