#!/bin/bash
# Signs the bundle and everything in it: sign_app.sh "Petals Volunteer.app"
#
#   SIGNING_IDENTITY   "Developer ID Application: NAME (TEAM)"; without one the signature is ad hoc, which is good for
#                      this Mac alone.
#
# Written by Apple's documentation. It has not been run on a Mac; tests run it on Linux beside stand-ins for Apple's tools.
set -euo pipefail

app=${1:?"usage: sign_app.sh APP"}
identity=${SIGNING_IDENTITY:--}
here=$(cd "$(dirname "$0")" && pwd)

options=(--force --options runtime)
if [ "$identity" = - ]; then
    echo "Signing ad hoc: other Macs will refuse this app."
else
    options+=(--timestamp)
fi

sign() {
    codesign "${options[@]}" --sign "$identity" "$@"
}

# From the inside out: the seal of a folder covers what is in it. `--deep` would give every file the same entitlements,
# and skips programs among the resources, as p2pd may be one.
main="$app/Contents/MacOS/volunteer"
count=0
while IFS= read -r -d '' file; do
    case $(file -b "$file") in
    Mach-O*)
        if [ "$file" != "$main" ]; then
            sign "$file"
            count=$((count + 1))
        fi
        ;;
    esac
done < <(find "$app/Contents" -depth -type f -print0)
echo "Signed $count libraries and programs inside."

# The bundle's own signature is that of its main program, which is the only one that gets entitlements.
sign --entitlements "$here/entitlements.plist" "$app"
codesign --verify --deep --strict --verbose=2 "$app"
