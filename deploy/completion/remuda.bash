# bash completion for remuda. The candidates come from the program itself.

_remuda()
{
	local word
	local -a words=("${COMP_WORDS[@]:1:COMP_CWORD}")

	COMPREPLY=()
	while IFS=$'\t' read -r word _; do
		case $word in
		:files)
			compopt -o default
			;;
		:tasks)
			while IFS=$'\t' read -r word _; do
				[[ $word == "${words[-1]}"* ]] && COMPREPLY+=("$word")
			done < <("${COMP_WORDS[0]}" __tasks 2>/dev/null)
			;;
		*)
			COMPREPLY+=("$word")
			[[ $word == *: || $word == *:/// ]] && compopt -o nospace
			;;
		esac
	done < <("${COMP_WORDS[0]}" __complete -- "${words[@]}" 2>/dev/null)
}

complete -F _remuda remuda
