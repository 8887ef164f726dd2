#!/bin/sh
# An application as small as can be: before it writes an order it asks its sidecar, and does as it is told. One line for each.
#
# Whoever gets no answer has no permission.
set -u
trap 'exit 0' TERM INT

allowed() {
    answer=$(grpcurl -plaintext -max-time 1 -d "{
        \"principal\": \"arn:aws:sts::123456789012:assumed-role/shop/${HOSTNAME:-pod}\",
        \"action\": \"$1\",
        \"resource\": \"$2\"
    }" "$AUTHORIZATION_ADDRESS" iamd.v1.AuthorizationService/IsAuthorized) || return 1
    case $answer in *'"decision": "DECISION_ALLOW"'*) return 0 ;; *) return 1 ;; esac
}

while :; do
    for year in 2025 2026; do
        order=arn:aws:s3:::acme-orders/$year/1.json
        if allowed s3:PutObject "$order"; then echo "written: $order"; else echo "refused: $order"; fi
    done
    # A signal ends the wait, not the sleep.
    sleep "${SHOP_INTERVAL:-10}" & wait $!
done
