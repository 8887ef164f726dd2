#!/usr/bin/env python3
"""Writes the requests of the load tests, all of them questions about examples/quickstart/store.

    loadtest/requests/generate.py          writes the files beside itself
    loadtest/requests/generate.py --check  writes nothing, fails if they are not what it would write

No clock, no random numbers: the same files every time. They hold

    requests.json       a list of different IsAuthorizedRequest messages, which ghz sends in turn
    batch.json          the same questions as BatchIsAuthorizedRequest messages
    stream.json         the same questions as the messages of one StreamIsAuthorized call
    is-authorized.json  one request, and
    is-authorized.bin   the same as the body of a gRPC call (5 bytes of framing, then protobuf), for h2load
"""

import json
import pathlib
import struct
import sys

HERE = pathlib.Path(__file__).parent
DEVELOPMENT, PRODUCTION = "123456789012", "210987654321"
REGION = "eu-central-1"
BATCH_SIZE = 50


def user(name):
    return f"arn:aws:iam::{DEVELOPMENT}:user/{name}"


def session(role, name, account=DEVELOPMENT):
    return f"arn:aws:sts::{account}:assumed-role/{role}/{name}"


def role(path, account=DEVELOPMENT):
    return f"arn:aws:iam::{account}:role/{path}"


def bucket(rest):
    return f"arn:aws:s3:::{rest}"


def regional(service, rest, account=DEVELOPMENT):
    return f"arn:aws:{service}:{REGION}:{account}:{rest}"


def request(principal, action, resource, **keys):
    message = {"principal": principal, "action": action, "resource": resource}
    if keys:
        message["context"] = {KEYS[key]: {"values": as_list(value)} for key, value in sorted(keys.items())}
    return message


def as_list(value):
    return value if isinstance(value, list) else [value]


KEYS = {
    "address": "aws:SourceIp",
    "agent": "aws:UserAgent",
    "age": "aws:MultiFactorAuthAge",
    "audience": "accounts.google.com:aud",
    "environment": "ec2:ResourceTag/Environment",
    "leading": "dynamodb:LeadingKeys",
    "mfa": "aws:MultiFactorAuthPresent",
    "player": "accounts.google.com:sub",
    "prefix": "s3:prefix",
    "region": "aws:RequestedRegion",
    "time": "aws:CurrentTime",
    "tls": "aws:SecureTransport",
}


def bucket_requests():
    """Reports, home folders and the exchange folder, over TLS and not."""
    for quarter in range(1, 5):
        report = bucket(f"acme-reports/2026/q{quarter}.pdf")
        for name in ("alice", "bob", "carol", "erin", "grace"):
            yield request(user(name), "s3:GetObject", report, tls="true", address=f"203.0.113.{quarter}")
        yield request(user("alice"), "s3:PutObject", report, tls="true")
        yield request(user("alice"), "s3:GetObject", report, tls="false")
        yield request(user("bob"), "s3:GetObject", bucket(f"acme-reports/shop/orders-{quarter}.csv"), tls="true")
    for name in ("alice", "bob", "carol", "erin", "grace"):
        yield request(user(name), "s3:ListBucket", bucket("acme-reports"), tls="true")
        for owner in ("alice", "bob", "carol"):
            yield request(user(name), "s3:PutObject", bucket(f"acme-home/home/{owner}/notes.txt"), tls="true")
            yield request(user(name), "s3:ListBucket", bucket("acme-home"), prefix=f"home/{owner}/", tls="true")
    for month in (1, 4, 6, 7):
        for address in ("203.0.113.7", "198.51.100.23", "2001:db8:1234::42"):
            yield request(
                user("contractors/dave"), "s3:GetObject", bucket("acme-exchange/contractors/plan.txt"),
                address=address, time=f"2026-{month:02}-15T10:00:00Z",
            )


def developer_requests():
    """Instances that the store knows, and some that it does not."""
    known = ("i-0123456789abcdef0", "i-0fedcba9876543210")
    for name in ("bob", "carol", "alice"):
        yield request(user(name), "ec2:DescribeInstances", "*", region=REGION)
        for action in ("ec2:StartInstances", "ec2:StopInstances", "ec2:TerminateInstances", "ec2:RebootInstances"):
            for instance in known:
                yield request(user(name), action, regional("ec2", f"instance/{instance}"), region=REGION)
            for environment in ("production", "staging"):
                instance = regional("ec2", "instance/i-0aaaabbbbccccdddd")
                yield request(user(name), action, instance, environment=environment, region=REGION)
        yield request(user(name), "ec2:DeleteVolume", regional("ec2", "volume/vol-049df61146c4d7901"), region=REGION)


def role_requests():
    """Who may assume which role, and what its sessions do."""
    for service in ("lambda.amazonaws.com", "ec2.amazonaws.com"):
        yield request(service, "sts:AssumeRole", role("service-role/ProfileFunction"))
    support = role("ProductionSupport", PRODUCTION)
    for name in ("alice", "bob", "carol"):
        for mfa, age in (("true", "120"), ("true", "7200"), ("false", "0")):
            yield request(user(name), "sts:AssumeRole", support, mfa=mfa, age=age)
    for audience in ("acme-game.apps.googleusercontent.com", "other.apps.googleusercontent.com"):
        yield request(
            "accounts.google.com", "sts:AssumeRoleWithWebIdentity", role("GamePlayer"), audience=audience, player="1100",
        )
    function = session("ProfileFunction", "profiles-api")
    for action in ("dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:DeleteItem"):
        for table in ("UserProfiles", "GameScores"):
            yield request(function, action, regional("dynamodb", f"table/{table}"))
    for index in range(8):
        log = f"log-group:/aws/lambda/profiles-api:log-stream:2026/01/0{index + 1}"
        yield request(function, "logs:PutLogEvents", regional("logs", log))
        log = f"log-group:/shop/web:log-stream:web-{index}"
        yield request(session("ProductionSupport", "carol", PRODUCTION), "logs:GetLogEvents", regional("logs", log, PRODUCTION))
        archive = bucket(f"acme-production-logs/shop/2026-01-0{index + 1}.gz")
        yield request(user("carol" if index % 2 else "bob"), "s3:GetObject", archive, tls="true")
    for player in ("1100", "1101", "1102", "1103"):
        for row in ("1100", "1103"):
            table = regional("dynamodb", "table/GameScores")
            yield request(session("GamePlayer", f"app-{player}"), "dynamodb:PutItem", table, player=player, leading=[row])


def other_requests():
    """Keys, costs and passwords."""
    keys = ("1234abcd-12ab-34cd-56ef-1234567890ab", "0987dcba-09fe-87dc-65ba-ab0987654321")
    callers = (user("grace"), user("bob"), session("ProfileFunction", "profiles-api"))
    for key in keys:
        for caller in callers:
            yield request(caller, "kms:Decrypt", regional("kms", f"key/{key}"))
    for name in ("alice", "bob", "erin"):
        yield request(user(name), "ce:GetCostAndUsage", "*")
        for other in ("alice", "bob", "erin"):
            yield request(user(name), "iam:ChangePassword", user(other), mfa="true")
        yield request(user(name), "sts:GetCallerIdentity", "*")
    for build in range(6):
        for team in ("shop", "payments"):
            artifact = bucket(f"acme-builds/{team}/1.{build}.0.tar.gz")
            yield request(session("CiDeployer", f"run-{build}"), "s3:PutObject", artifact, tls="true")


def all_requests():
    requests = [*bucket_requests(), *developer_requests(), *role_requests(), *other_requests()]
    distinct = {json.dumps(message, sort_keys=True) for message in requests}
    if len(distinct) != len(requests) or len(requests) < 200:
        sys.exit(f"{len(requests)} requests, {len(distinct)} of them different: at least 200 are wanted, all different")
    return requests


def one_request():
    """The request of h2load: 289 bytes of protobuf, four context keys, an Allow through a group's managed policy."""
    return request(
        user("bob"), "ec2:TerminateInstances", regional("ec2", "instance/i-0fedcba9876543210"),
        address="203.0.113.7", agent="aws-cli/2.9.0 md/awscrt lang/python#3.9", region=REGION, tls="true",
    )


# --- protobuf, as far as IsAuthorizedRequest needs it ----------------------------------------------------------------


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number, payload):
    """A length-delimited field: tag, length, bytes."""
    payload = payload.encode() if isinstance(payload, str) else payload
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def encode(message):
    out = field(1, message["principal"]) + field(2, message["action"]) + field(3, message["resource"])
    for key, values in message.get("context", {}).items():
        out += field(4, field(1, key) + field(2, b"".join(field(1, value) for value in values["values"])))
    return out


def framed(payload):
    """gRPC's framing: not compressed, length, message."""
    return struct.pack(">BI", 0, len(payload)) + payload


# --- files -----------------------------------------------------------------------------------------------------------


def files():
    requests = all_requests()
    batches = [{"requests": requests[i : i + BATCH_SIZE]} for i in range(0, len(requests), BATCH_SIZE)]
    stream = [{"id": number, "request": message} for number, message in enumerate(requests, start=1)]
    for name, messages in (("requests", requests), ("batch", batches), ("stream", stream)):
        lines = ",\n".join(json.dumps(message) for message in messages)
        yield f"{name}.json", f"[\n{lines}\n]\n".encode()
    yield "is-authorized.json", (json.dumps(one_request(), indent=2) + "\n").encode()
    yield "is-authorized.bin", framed(encode(one_request()))


def main():
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        sys.exit("usage: generate.py [--check]")
    stale = [name for name, content in files() if not (HERE / name).is_file() or (HERE / name).read_bytes() != content]
    if check and stale:
        sys.exit(f"not what generate.py writes: {', '.join(stale)}")
    if not check:
        for name, content in files():
            (HERE / name).write_bytes(content)


if __name__ == "__main__":
    main()
