# To be sourced: where the sources of std are that belong to the installed rustc. Uses $cross_dir, in which they are kept,
# $version, the compiler's, and $log, a file for what goes wrong.

# The configured source of the system's own release, with newer suites in place of it.
newer_sources() {
    local release suites="stable-backports testing unstable"
    release="$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")"
    [ -n "$release" ] || return 1
    cat /etc/apt/sources.list.d/*.sources 2>/dev/null | awk -v release="$release" -v suites="$suites" '
        function flush() { if (ours) printf "%s\n", stanza; stanza = ""; ours = 0 }
        /^#/ { next }
        NF == 0 { flush(); next }
        /^Suites:/ { for (i = 2; i <= NF; i++) if ($i == release) ours = 1; $0 = "Suites: " suites }
        { stanza = stanza $0 "\n" }
        END { flush() }'
}

# The sources of std that belong to rustc, fetched if need be: prints their folder.
std_sources() {
    local folder apt package
    folder="$(rustc --print sysroot)/lib/rustlib/src/rust/library"
    if [ ! -f "$folder/Cargo.lock" ]; then
        folder="$cross_dir/rust-src/usr/src/rustc-$version/library"
    fi
    if [ ! -f "$folder/Cargo.lock" ]; then
        [ "$(id -u)" -eq 0 ] && command -v apt-get dpkg >/dev/null || return 1
        # An apt of its own, that sees the newer suites; the system's stays as it is.
        apt="$cross_dir/apt"
        mkdir -p "$apt"/{lists/partial,cache/archives/partial,sources,preferences}
        newer_sources >"$apt/sources/newer.sources"
        cat >"$apt/apt.conf" <<CONF
Dir::State::Lists "$apt/lists";
Dir::Cache "$apt/cache";
Dir::Etc::SourceList "/dev/null";
Dir::Etc::SourceParts "$apt/sources";
Dir::Etc::PreferencesParts "$apt/preferences";
APT::Sandbox::User "root";
CONF
        export APT_CONFIG="$apt/apt.conf"
        apt-get update -qq >"$log" 2>&1 || return 1
        package="$(apt-cache madison rust-src | awk -v v="$version+" 'index($3, v) == 1 { print $3; exit }')"
        [ -n "$package" ] || return 1
        (cd "$apt" && apt-get download -qq "rust-src=$package" && dpkg -x rust-src_*.deb "$cross_dir/rust-src") \
            >"$log" 2>&1 || return 1
        unset APT_CONFIG
        rm -rf "$apt"
    fi
    [ -f "$folder/Cargo.lock" ] && printf '%s' "$folder"
}
