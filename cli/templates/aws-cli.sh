#!/usr/bin/env bash
# What migration {{ id }} needs in AWS. Written by `msk-kraft plan`; read it before you run it.
#
# It creates what is missing and leaves alone what is there as it should be, so it can be run again. It wants the aws CLI
# (version 1 or 2) and jq, {{ policies }} beside it, and credentials that may create these things.
# Topics, ACLs and records are not its business: the migration does that.
#
# With --remove-policies it only takes this migration's policies away again: when the migration is over.
set -euo pipefail

readonly PARTITION={{ partition }}
readonly REGION={{ region }}
readonly ACCOUNT={{ account }}
readonly BACKUP={{ backup }}
readonly EVIDENCE={{ evidence }}
readonly TABLE={{ table }}
readonly STATE_MACHINE={{ state_machine }}
export AWS_DEFAULT_REGION=$REGION AWS_REGION=$REGION AWS_PAGER=

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
missing=0

say() {
  printf '%s\n' "$*" >&2
}

# Something that this script does not create.
lacks() {
  say "MISSING  $*"
  missing=1
}

## The account

signed_in=$(aws sts get-caller-identity --query Account --output text)
if [[ $signed_in != "$ACCOUNT" ]]; then
  say "signed in to account $signed_in, the plan is for $ACCOUNT: nothing was done"
  exit 1
fi

## Names of policies

readonly POLICIES=$here/{{ policies }}

roles() {
  jq -r 'keys[]' "$POLICIES"
}

policy_of() {
  printf 'msk-kraft-{{ id }}-%s' "$1"
}

arn_of() {
  printf 'arn:%s:iam::%s:policy/%s' "$PARTITION" "$ACCOUNT" "$1"
}

# The versions of a policy that do not count, oldest first.
other_versions() {
  aws iam list-policy-versions --policy-arn "$1" --output json |
    jq -r '.Versions | map(select(.IsDefaultVersion | not).VersionId) | sort_by(ltrimstr("v") | tonumber) | .[]'
}

# IAM keeps five versions of a policy.
make_room() {
  local others
  others=$(other_versions "$1")
  if (($(wc -l <<<"$others") >= 4)); then
    aws iam delete-policy-version --policy-arn "$1" --version-id "$(head -n 1 <<<"$others")"
  fi
}

remove_policy() {
  local policy=$1 arn role version
  arn=$(arn_of "$policy")
  if ! aws iam get-policy --policy-arn "$arn" >/dev/null 2>&1; then
    say "gone     policy $policy"
    return
  fi
  for role in $(aws iam list-entities-for-policy --policy-arn "$arn" --output json | jq -r '.PolicyRoles[].RoleName'); do
    aws iam detach-role-policy --role-name "$role" --policy-arn "$arn"
  done
  for version in $(other_versions "$arn"); do
    aws iam delete-policy-version --policy-arn "$arn" --version-id "$version"
  done
  aws iam delete-policy --policy-arn "$arn"
  say "removed  policy $policy"
}

if [[ ${1-} == --remove-policies ]]; then
  for role in $(roles); do
    remove_policy "$(policy_of "$role")"
  done
  exit 0
fi

## Buckets

# Creates a bucket unless it is there; further arguments go to create-bucket.
create_bucket() {
  local bucket=$1
  shift
  if aws s3api head-bucket --bucket "$bucket" >/dev/null 2>&1; then
    say "there    bucket $bucket"
    return
  fi
  if [[ $REGION != us-east-1 ]]; then
    set -- "$@" --create-bucket-configuration "LocationConstraint=$REGION"
  fi
  aws s3api create-bucket --bucket "$bucket" "$@" >/dev/null
  aws s3api wait bucket-exists --bucket "$bucket"
  aws s3api put-public-access-block --bucket "$bucket" --public-access-block-configuration \
    BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true
  say "created  bucket $bucket"
}

# Keeps older versions of a bucket's objects.
keep_versions() {
  local status
  status=$(aws s3api get-bucket-versioning --bucket "$1" --query Status --output text)
  if [[ $status == Enabled ]]; then
    say "there    versioning of $1"
    return
  fi
  aws s3api put-bucket-versioning --bucket "$1" --versioning-configuration Status=Enabled
  say "set      versioning of $1"
}

create_bucket "$BACKUP"
{%- if locked %}

# Object Lock: evidence.retention is set, and without it the evidence cannot be kept from being changed.
create_bucket "$EVIDENCE" --object-lock-enabled-for-bucket
keep_versions "$EVIDENCE"
lock=$(aws s3api get-object-lock-configuration --bucket "$EVIDENCE" \
  --query ObjectLockConfiguration.ObjectLockEnabled --output text 2>/dev/null || true)
if [[ $lock == Enabled ]]; then
  say "there    Object Lock of $EVIDENCE"
else
  aws s3api put-object-lock-configuration --bucket "$EVIDENCE" \
    --object-lock-configuration ObjectLockEnabled=Enabled >/dev/null
  say "set      Object Lock of $EVIDENCE"
fi
{%- else %}
create_bucket "$EVIDENCE"
keep_versions "$EVIDENCE"
{%- endif %}
{%- if let Some(key) = key %}

## Key of the backup

readonly KEY={{ key }}
state=$(aws kms describe-key --key-id "$KEY" --query KeyMetadata.KeyState --output text 2>/dev/null || true)
if [[ $state == Enabled ]]; then
  encrypted=$(aws s3api get-bucket-encryption --bucket "$BACKUP" --output text --query \
    'ServerSideEncryptionConfiguration.Rules[0].ApplyServerSideEncryptionByDefault.KMSMasterKeyID' 2>/dev/null || true)
  if [[ $encrypted == "$KEY" ]]; then
    say "there    encryption of $BACKUP with $KEY"
  else
    rule='{"Rules":[{"ApplyServerSideEncryptionByDefault":{"SSEAlgorithm":"aws:kms","KMSMasterKeyID":"%s"},"BucketKeyEnabled":true}]}'
    # shellcheck disable=SC2059 # The rule is the format.
    aws s3api put-bucket-encryption --bucket "$BACKUP" --server-side-encryption-configuration "$(printf "$rule" "$KEY")"
    say "set      encryption of $BACKUP with $KEY"
  fi
else
  lacks "key $KEY (state: ${state:-not found}): create or enable it, then run this again"
fi
{%- endif %}

## Journal

if aws dynamodb describe-table --table-name "$TABLE" >/dev/null 2>&1; then
  say "there    table $TABLE"
else
  aws dynamodb create-table --table-name "$TABLE" --billing-mode PAY_PER_REQUEST \
    --attribute-definitions AttributeName=pk,AttributeType=S AttributeName=sk,AttributeType=S \
    --key-schema AttributeName=pk,KeyType=HASH AttributeName=sk,KeyType=RANGE >/dev/null
  aws dynamodb wait table-exists --table-name "$TABLE"
  say "created  table $TABLE"
fi
recovery=$(aws dynamodb describe-continuous-backups --table-name "$TABLE" --output text --query \
  ContinuousBackupsDescription.PointInTimeRecoveryDescription.PointInTimeRecoveryStatus)
if [[ $recovery == ENABLED ]]; then
  say "there    point-in-time recovery of $TABLE"
else
  aws dynamodb update-continuous-backups --table-name "$TABLE" \
    --point-in-time-recovery-specification PointInTimeRecoveryEnabled=true >/dev/null
  say "set      point-in-time recovery of $TABLE"
fi

## Policies

# One for each role: the functions', the state machine's ("state-machine") and yours ("operator"). They name this migration, so
# that one that runs beside it keeps its own.
if [[ -f $POLICIES ]]; then
  for role in $(roles); do
    policy=$(policy_of "$role")
    arn=$(arn_of "$policy")
    wanted=$(jq -cS --arg role "$role" '.[$role]' "$POLICIES")
    version=$(aws iam get-policy --policy-arn "$arn" --query Policy.DefaultVersionId --output text 2>/dev/null || true)
    if [[ -z $version ]]; then
      aws iam create-policy --policy-name "$policy" --policy-document "$wanted" >/dev/null
      say "created  policy $policy: attach it to the role"
      continue
    fi
    found=$(aws iam get-policy-version --policy-arn "$arn" --version-id "$version" --query PolicyVersion.Document --output json)
    if [[ $(jq -cS . <<<"$found") == "$wanted" ]]; then
      say "there    policy $policy"
    else
      make_room "$arn"
      aws iam create-policy-version --policy-arn "$arn" --policy-document "$wanted" --set-as-default >/dev/null
      say "set      policy $policy"
    fi
  done
else
  lacks "$POLICIES: write it with msk-kraft plan --format all"
fi
{%- if !limits_known %}

## Limits of the target's brokers

# The precheck function was not there, so this plan did not see the clusters.
lacks "limits of the target's brokers, which nobody has looked at: write this script again when msk-kraft is deployed"
{%- endif %}
{%- if !limits.is_empty() %}

## Limits of the target's brokers

# Batches of the source may be larger than the target's brokers take:
{%- for limit in limits %}
#   {{ limit.name }} is {{ limit.smallest }}, and {{ limit.needed }} is needed
{%- endfor %}
# A new revision of the target's configuration keeps everything else. MSK applies it to one broker after the other.
readonly TARGET={{ target }}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

target() {
  aws kafka describe-cluster-v2 --region {{ target_region }} --cluster-arn "$TARGET" --output text --query "$1"
}

# Sets one broker config, unless it is large enough.
raise() {
  local now
  now=$(sed -n "s/^$1 *= *//p" "$work/properties" | tail -n 1)
  if [[ $now =~ ^[0-9]+$ ]] && ((now >= $2)); then
    return
  fi
  sed "/^$1 *=/d" "$work/properties" >"$work/others"
  {
    cat "$work/others"
    printf '%s=%s\n' "$1" "$2"
  } >"$work/properties"
  raised=1
}

# The configuration that this script made for a cluster without one, and that the cluster may not have got.
own_configuration() {
  aws kafka list-configurations --region {{ target_region }} --output json |
    jq -r '[.Configurations[] | select(.Name == "msk-kraft-{{ id }}").Arn] | first // empty'
}

raise_limits() {
  local state configuration revision raised=0 software=ClusterInfo.Provisioned.CurrentBrokerSoftwareInfo
  state=$(target ClusterInfo.State)
  if [[ $state != ACTIVE ]]; then
    lacks "limits of the target's brokers: the cluster is $state and takes no change, run this again when it is ACTIVE"
    return
  fi
  configuration=$(target "$software.ConfigurationArn")
  touch "$work/properties"
  if [[ $configuration != None ]]; then
    aws kafka describe-configuration-revision --region {{ target_region }} --arn "$configuration" \
      --revision "$(target "$software.ConfigurationRevision")" --query ServerProperties --output text |
      base64 --decode >"$work/properties"
  fi
{%- for limit in limits %}
  raise {{ limit.name }} {{ limit.needed }}
{%- endfor %}
  if ((raised == 0)); then
    say "there    limits in the target's configuration"
    return
  fi
  if [[ $configuration == None ]]; then
    configuration=$(own_configuration)
  fi
  if [[ -z $configuration ]]; then
    configuration=$(aws kafka create-configuration --region {{ target_region }} --name "msk-kraft-{{ id }}" \
      --server-properties "fileb://$work/properties" --query Arn --output text)
    revision=1
  else
    revision=$(aws kafka update-configuration --region {{ target_region }} --arn "$configuration" \
      --server-properties "fileb://$work/properties" --query LatestRevision.Revision --output text)
  fi
  aws kafka update-cluster-configuration --region {{ target_region }} --cluster-arn "$TARGET" \
    --current-version "$(target ClusterInfo.CurrentVersion)" \
    --configuration-info "Arn=$configuration,Revision=$revision" >/dev/null
  say "set      limits of the target's brokers, under way: wait until the cluster is ACTIVE"
}

raise_limits
{%- endif %}
{%- if scram.is_from_source() %}

## Secrets of the target's SCRAM users

# Those of the source, ten at a time as MSK takes them. Their keys must allow the target to use them.
secrets() {
  aws kafka list-scram-secrets --region "$1" --cluster-arn "$2" --query SecretArnList --output text | tr '\t' '\n' |
    sed '/^None$/d;/^$/d' | sort
}
source_secrets=$(secrets {{ source_region }} {{ source }})
target_secrets=$(secrets {{ target_region }} {{ target }})
while read -r -a ten; do
  refused=$(aws kafka batch-associate-scram-secret --region {{ target_region }} --cluster-arn {{ target }} \
    --secret-arn-list "${ten[@]}" --query 'UnprocessedScramSecrets[].[SecretArn,ErrorMessage]' --output text)
  if [[ -n $refused && $refused != None ]]; then
    lacks "secrets that MSK did not take, of ${ten[*]}: $refused"
  else
    say "set      SCRAM secrets of the target: ${ten[*]}"
  fi
done < <(comm -23 <(printf '%s\n' "$source_secrets") <(printf '%s\n' "$target_secrets") | xargs -r -n 10)
{%- else if scram.is_new() %}

## Secrets of the target's SCRAM users

# The source has none to take over. MSK takes secrets whose name begins with AmazonMSK_, under a key of your own, with
# {"username": ..., "password": ...} in them.
associated=$(aws kafka list-scram-secrets --region {{ target_region }} --cluster-arn {{ target }} \
  --query 'length(SecretArnList)' --output text)
if [[ $associated =~ ^[0-9]+$ ]] && ((associated > 0)); then
  say "there    $associated SCRAM secrets of the target"
else
  lacks "SCRAM secrets of the target: create AmazonMSK_<name> for each user, then aws kafka batch-associate-scram-secret"
fi
{%- endif %}

## The deployment

for function in{% for function in functions %} {{ function }}{% endfor %}; do
  if aws lambda get-function --function-name "$function" >/dev/null 2>&1; then
    say "there    function $function"
  else
    lacks "function $function: deploy msk-kraft"
  fi
done
if aws stepfunctions describe-state-machine --state-machine-arn "$STATE_MACHINE" >/dev/null 2>&1; then
  say "there    state machine"
else
  lacks "state machine $STATE_MACHINE: deploy msk-kraft"
fi

if ((missing)); then
  say "Something is missing that this script does not create; see above."
  exit 2
fi
