#!/bin/bash
# From a built bundle to a disk image for people: make_dmg.sh "Petals Volunteer.app" petals-volunteer-1.2.0-macos-arm64.dmg
#
#   SIGNING_IDENTITY   as in sign_app.sh
#   NOTARY_PROFILE     the name under which `xcrun notarytool store-credentials` has put the account of the publisher into
#                      the keychain; without one nothing is sent to Apple, and Macs warn of what they downloaded.
#
# Written by Apple's documentation. It has not been run on a Mac; tests run it on Linux beside stand-ins for Apple's tools.
set -euo pipefail

app=${1:?"usage: make_dmg.sh APP DMG"}
dmg=${2:?"usage: make_dmg.sh APP DMG"}
here=$(cd "$(dirname "$0")" && pwd)
name=$(basename "$app" .app)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [ -n "${NOTARY_PROFILE:-}" ] && [ -z "${SIGNING_IDENTITY:-}" ]; then
    echo "Apple notarises only what is signed: say SIGNING_IDENTITY too." >&2
    exit 2
fi

# Waits for Apple's answer. What Apple minds it tells only in its log.
notarise() {
    local answer=$work/notary.json identifier
    if ! xcrun notarytool submit "$1" --keychain-profile "$NOTARY_PROFILE" --wait --output-format json >"$answer" ||
        ! grep -q '"status" *: *"Accepted"' "$answer"; then
        cat "$answer" >&2
        identifier=$(sed -n 's/.*"id" *: *"\([^"]*\)".*/\1/p' "$answer" | head -n 1)
        [ -z "$identifier" ] || xcrun notarytool log "$identifier" --keychain-profile "$NOTARY_PROFILE" >&2
        echo "Apple did not notarise $1." >&2
        exit 1
    fi
}

"$here/sign_app.sh" "$app"
if [ -n "${NOTARY_PROFILE:-}" ]; then
    # First the app by itself, so that it carries Apple's ticket with it and opens without a network, too.
    ditto -c -k --keepParent "$app" "$work/app.zip"
    notarise "$work/app.zip"
    xcrun stapler staple "$app"
fi

mkdir "$work/image"
ditto "$app" "$work/image/$name.app"
ln -s /Applications "$work/image/Applications"
rm -f "$dmg"
hdiutil create -volname "$name" -srcfolder "$work/image" -fs HFS+ -format ULFO "$dmg"

if [ -n "${SIGNING_IDENTITY:-}" ]; then
    codesign --timestamp --sign "$SIGNING_IDENTITY" "$dmg"
fi
if [ -n "${NOTARY_PROFILE:-}" ]; then
    notarise "$dmg"
    xcrun stapler staple "$dmg"
    # As a Mac judges that has downloaded them.
    spctl --assess --type open --context context:primary-signature --verbose "$dmg"
    spctl --assess --type execute --verbose "$app"
else
    echo "Not notarised: Macs that download this image will refuse to open the app."
fi
hdiutil verify "$dmg"
du -h "$dmg"
