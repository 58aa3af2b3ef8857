# Completion of tide-gateway in bash.
_tide_gateway()
{
	local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}

	case $previous in
		--config | --*-file)
			mapfile -t COMPREPLY < <(compgen -f -- "$current")
			return
			;;
	esac
	if [ "${COMP_WORDS[1]}" = token ] && [ "$COMP_CWORD" -gt 1 ]; then
		mapfile -t COMPREPLY < <(compgen -W '--jwt-secret-file --sub --role --ttl --jwt-issuer --jwt-audience' -- "$current")
		return
	fi
	# the settings are those of the program that is there
	mapfile -t COMPREPLY < <(compgen -W "token --help --version $(
		"${COMP_WORDS[0]}" --help 2>/dev/null | sed -n 's/^  \(--[a-z-]*\) .*(TIDE_.*/\1/p')" -- "$current")
}
complete -o filenames -F _tide_gateway tide-gateway
