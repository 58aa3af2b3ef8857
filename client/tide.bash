# Completion of tide in bash.
_tide()
{
	local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} help

	case $previous in
		--naming)
			mapfile -t COMPREPLY < <(compgen -W 'as_is snake' -- "$current")
			return
			;;
		--*-file | --map)
			mapfile -t COMPREPLY < <(compgen -f -- "$current")
			return
			;;
	esac
	# commands and options are those of the program that is there
	help=$("${COMP_WORDS[0]}" --help 2>/dev/null)
	if [ "$COMP_CWORD" = 1 ]; then
		mapfile -t COMPREPLY < <(compgen -W "--help --version $(
			sed -n 's/^  tide \([a-z]*\) .*/\1/p' <<<"$help")" -- "$current")
	elif [[ $current == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(
			awk -v command="${COMP_WORDS[1]}" '
				$1 == "tide" { is_on = $2 == command }
				/^      [^ ]/ { is_on = 0 }
				is_on' <<<"$help" | grep -o -- '--[a-z-]*')" -- "$current")
	else
		mapfile -t COMPREPLY < <(compgen -f -- "$current")
	fi
}
complete -o filenames -F _tide tide
