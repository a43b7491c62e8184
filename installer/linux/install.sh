#!/bin/sh
# Installs Petals Volunteer for the user who runs this, without an administrator: ./install.sh
# Run again from a newer archive, it upgrades. ~/.local/opt/petals-volunteer/install.sh --uninstall takes it away.
set -eu

name=petals-volunteer
unit=$name.service
data_home=${XDG_DATA_HOME:-$HOME/.local/share}
place=$HOME/.local/opt/$name
command=$HOME/.local/bin/volunteer
list=$place/installed-files
folders=$place/made-folders
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

main() {
    case ${1:-} in
    "") install ;;
    --uninstall) uninstall ;;
    *)
        echo "Usage: install.sh [--uninstall]" >&2
        exit 2
        ;;
    esac
}

install() {
    if [ ! -x "$here/program/volunteer" ]; then
        echo "Start this from the unpacked archive: there is no program beside it." >&2
        exit 1
    fi
    if [ -e "$command" ] && [ "$(readlink "$command")" != "$place/volunteer" ]; then
        echo "$command is there already and is not ours: move it away first." >&2
        exit 1
    fi
    made=$(missing "$(dirname "$place")")
    mkdir -p "$(dirname "$place")"
    # Beside and then into place: an installation that breaks off leaves the old one whole.
    rm -rf "$place.new"
    cp -R "$here/program" "$place.new"
    cp "$here/install.sh" "$place.new/"
    # What an older version made is still ours.
    { cat "$folders" 2>/dev/null || true; echo "$made"; } >"$place.new/$(basename "$folders")"
    had_service=false
    if service_runs; then
        had_service=true
        echo "The service of Petals Volunteer is stopped; it goes on with the new version."
        systemctl --user stop "$unit" || true
    fi
    end_running
    remove_listed
    rm -rf "$place"
    mv "$place.new" "$place"
    if [ "$had_service" = true ]; then
        systemctl --user start "$unit" || echo "It did not start again: try systemctl --user start $name" >&2
    fi
    : >"$list"
    (cd "$here/share" && find . -type f) | while read -r file; do
        put "$here/share/$file" "$data_home/${file#./}"
    done
    # By its whole path: not every desktop looks into ~/.local/bin.
    entry=$data_home/applications/$name.desktop
    put "$here/$name.desktop" "$entry"
    escaped=$(printf %s "$place/volunteer" | sed 's/[\\&|]/\\&/g')
    sed -i "s|^Exec=volunteer|Exec=\"$escaped\"|; s|^TryExec=volunteer|TryExec=$escaped|" "$entry"
    make_folder "$(dirname "$command")"
    ln -sf "$place/volunteer" "$command"
    echo "$command" >>"$list"
    # Desktops look whether the folder has changed.
    touch "$data_home/icons/hicolor"
    echo "Petals Volunteer $("$command" --version) is installed: look for it among your programs, or run volunteer."
    say_what_is_missing
    echo "$place/install.sh --uninstall takes it away again."
}

# Those of a folder and the ones around it that are not there.
missing() {
    [ -d "$1" ] || { echo "$1"; missing "$(dirname "$1")"; }
}

make_folder() {
    missing "$1" >>"$folders"
    mkdir -p "$1"
}

put() {
    make_folder "$(dirname "$2")"
    cp "$1" "$2"
    echo "$2" >>"$list"
}

say_what_is_missing() {
    case ":$PATH:" in
    *":$(dirname "$command"):"*) ;;
    *) echo "In terminals it is $command, until your PATH has $(dirname "$command")." ;;
    esac
    missing=$(ldd "$place/_internal/PySide6/Qt/plugins/platforms/libqxcb.so" 2>/dev/null | sed -n 's/ => not found//p' |
        grep -v Qt6 | sort -u | tr -d '\t' | tr '\n' ' ')
    if [ -n "$missing" ]; then
        echo "The window needs libraries that this system does not have: $missing"
        echo "On Debian and Ubuntu: sudo apt install libxcb-cursor0 libxkbcommon-x11-0 libxcb-icccm4 libxcb-image0 \\"
        echo "    libxcb-keysyms1 libxcb-render-util0 libegl1 libgl1"
    fi
}

uninstall() {
    if [ ! -e "$list" ]; then
        echo "Petals Volunteer is not installed in $place." >&2
        exit 1
    fi
    for kind in user autostart; do
        "$place/volunteer" service remove --kind "$kind" --yes >/dev/null 2>&1 || true
    done
    end_running
    remove_listed
    # The innermost first.
    made=$(LC_ALL=C sort -ru "$folders")
    rm -rf "$place"
    echo "$made" | while read -r folder; do
        rmdir "$folder" 2>/dev/null || true # something else may be in it
    done
    touch "$data_home/icons/hicolor" 2>/dev/null || true
    echo "Petals Volunteer is gone."
    ask_about_data
}

ask_about_data() {
    data=$data_home/$name
    [ -d "$data" ] || return 0
    answer=n
    if [ -t 0 ]; then
        echo "Your settings, chats, points and blocks are in $data. Points cannot be earned back once they are deleted."
        printf "Delete them too? [y/N] "
        read -r answer || answer=n
    fi
    case $answer in
    [yY]*) rm -rf "$data" && echo "They are deleted." ;;
    *) echo "Settings, chats, points and blocks stay in $data." ;;
    esac
}

remove_listed() {
    [ -e "$list" ] || return 0
    while read -r file; do
        rm -f "$file"
    done <"$list"
}

running() {
    for link in /proc/[0-9]*/exe; do
        case $(readlink "$link" 2>/dev/null) in
        "$place"/*)
            pid=${link#/proc/}
            echo "${pid%/exe}"
            ;;
        esac
    done
}

# Whether systemd runs the program that is here; the unit may be another installation's.
service_runs() {
    main_pid=$(systemctl --user show --property=MainPID --value "$unit" 2>/dev/null) || return 1
    case $(readlink "/proc/$main_pid/exe" 2>/dev/null) in
    "$place"/*) return 0 ;;
    *) return 1 ;;
    esac
}

end_running() {
    [ -n "$(running)" ] || return 0
    echo "Petals Volunteer is running and is being ended; it says goodbye to its swarm first."
    for pid in $(running); do
        if [ "$(readlink "/proc/$pid/exe" 2>/dev/null)" = "$place/volunteer" ]; then
            kill -TERM "$pid" 2>/dev/null || true
        fi
    done
    seconds=0
    while [ -n "$(running)" ] && [ "$seconds" -lt 60 ]; do
        sleep 1
        seconds=$((seconds + 1))
    done
    # shellcheck disable=SC2046 # numbers, one word each
    kill -KILL $(running) 2>/dev/null || true
}

main "$@"
