# A whole client of the gateway: rows by type and id, the ids of those it has
# edited, a cursor. It keeps them in a JSON file.
#
#   my $phone = DemoDevice->new(name => 'phone', url => $gateway, token => $jwt,
#       file => $path, trace => sub { print "$_[0]\n" });
#   $phone->edit(BodyWeightEntry => $id, time, weightKg => 68.4);
#   $phone->push_changes;
#   $phone->pull_changes;
#
# trace gets a line for each thing that the device does, requests and replies
# among them. What goes wrong dies.

package DemoDevice;

use strict;
use warnings;
use utf8;
use HTTP::Tiny;
use JSON::PP;
use POSIX qw(strftime);

my $json = JSON::PP->new->utf8->canonical;
my $text = JSON::PP->new->canonical;

sub new
{
	my ($class, %given) = @_;

	return bless {
		rows => {}, dirty => {}, cursor => undef, trace => sub { },
		http => HTTP::Tiny->new(timeout => 30), %given,
	}, $class;
}

sub trace { my $self = shift; $self->{trace}->("@_") }

# the beginning of an id is enough to tell it by
sub short { return substr $_[0], 0, 8 }

sub shortened
{
	my ($string, $length) = @_;

	return $string if length $string <= $length;
	return substr($string, 0, $length) . ' … (' . length($string) . ' characters)';
}

# A time as the gateway writes it.
sub iso
{
	my $at = shift;

	return strftime('%Y-%m-%dT%H:%M:%S', gmtime $at) . sprintf '.%03dZ', ($at - int $at) * 1000;
}

# One request; its reply, decoded. Dies unless the status is as expected.
sub request
{
	my ($self, $method, $path, $body, $expected, $shown_length) = @_;
	my %option = (headers => { Authorization => "Bearer $self->{token}" });
	my $shown = $path;

	if ($body)
	{
		$option{content} = $json->encode($body);
		$option{headers}{'Content-Type'} = 'application/json';
	}
	$expected //= 200;
	$shown_length //= 240;
	$shown =~ s/(since=.{16})[^&]+/$1…/;
	$self->trace("$self->{name} → $method $shown");
	$self->trace('  ' . shortened($text->encode($body), $shown_length)) if $body;
	my $reply = $self->{http}->request($method, $self->{url} . $path, \%option);
	my $content = eval { $json->decode($reply->{content}) };
	my $said = shortened($content ? $text->encode($content) : $reply->{content}, $shown_length);
	$self->trace("  ← $reply->{status} $said");
	die "the gateway answered $method $shown with $reply->{status}, not $expected: $said\n"
		if $reply->{status} != $expected;
	return $content;
}

# Edit a row of one's own copy; the network does not matter. $when is what the
# device's clock says.
sub edit
{
	my ($self, $type, $id, $when, %field) = @_;
	my $row = $self->{rows}{$type}{$id} //= { id => $id };

	@$row{ keys %field } = values %field;
	$row->{updatedAt} = iso($when);
	$row->{clientId} = $self->{name};
	$self->{dirty}{$type}{$id} = 1;
	$self->save;
	$self->trace("$self->{name} edits $type " . short($id) . ': ' . $text->encode(\%field)
			. ' at ' . substr $row->{updatedAt}, 11, 8);
	return $id;
}

# All that was edited, as whole rows: last write wins converges for those. The
# cursor says how long the device was away.
sub pending
{
	my $self = shift;
	my %changes;

	for my $type (keys %{ $self->{dirty} })
	{
		for my $id (sort keys %{ $self->{dirty}{$type} })
		{
			push @{ $changes{$type} }, { %{ $self->{rows}{$type}{$id} } };
		}
	}
	return { clientId => $self->{name}, cursor => $self->{cursor}, changes => \%changes };
}

# Push what is pending. A row that was stored, or that lost, is replaced by
# what the server says of it; one that failed stays dirty.
sub push_changes
{
	my ($self, $body) = @_;
	my $reply = $self->request(POST => '/api/v1/sync/push', $body // $self->pending);

	for my $done (@{ $reply->{succeeded} })
	{
		my ($type, $id) = @$done{qw(entityType entityId)};

		$self->{rows}{$type}{$id} = $done->{entity};
		delete $self->{dirty}{$type}{$id};
		$self->trace("  $type " . short($id) . ": $done->{status}");
	}
	for my $bad (@{ $reply->{failed} })
	{
		$self->trace("  $bad->{entityType} " . short($bad->{entityId})
				. ": failed, $bad->{errors}[0]{code} $bad->{errors}[0]{message}");
	}
	$self->save;
	return $reply;
}

# Pull page by page until there is no more. A row that is dirty here keeps
# its edit: the next push decides. When everything comes, without a cursor or
# after a reset, a clean row that does not come is gone.
sub pull_changes
{
	my ($self, $limit) = @_;
	my ($pages, $rows, $deletions) = (0, 0, 0);
	my $whole = !$self->{cursor};
	my %came;

	while (1)
	{
		my $page = $self->request(GET => '/api/v1/sync/pull?limit=' . ($limit // 500)
				. "&clientId=$self->{name}" . ($self->{cursor} ? "&since=$self->{cursor}" : ''),
			undef, 200, $pages ? 80 : 240);

		$pages++;
		if ($page->{reset})
		{
			$whole = 1;
			%came = ();
			$self->trace("  reset, $page->{resetReason}: from the beginning");
		}
		$self->forget_scope($_) for @{ $page->{revokedScopes} };
		while (my ($type, $changed) = each %{ $page->{changesByType} })
		{
			for my $row (@$changed)
			{
				$self->{rows}{$type}{ $row->{id} } = $row unless $self->{dirty}{$type}{ $row->{id} };
				$came{$type}{ $row->{id} } = 1;
				$rows++;
			}
		}
		while (my ($type, $gone) = each %{ $page->{deletedByType} })
		{
			for my $row (@$gone)
			{
				delete $self->{rows}{$type}{ $row->{id} };
				$deletions++;
			}
		}
		$self->{cursor} = $page->{cursor};
		last unless $page->{hasMore};
	}
	$deletions += $self->drop_clean_but(\%came) if $whole;
	$self->save;
	$self->trace("  $self->{name} got $rows rows and $deletions deletions in $pages page(s)");
	return ($rows, $deletions, $pages);
}

# Rows of somebody whose rows this user may not sync any more.
sub forget_scope
{
	my ($self, $scope) = @_;

	$self->trace("  $scope is no longer this user's to see");
	for my $rows (values %{ $self->{rows} })
	{
		delete @{$rows}{ grep { ($rows->{$_}{athleteId} // $_) eq $scope } keys %$rows };
	}
}

sub drop_clean_but
{
	my ($self, $came) = @_;
	my $dropped = 0;

	for my $type (keys %{ $self->{rows} })
	{
		for my $id (keys %{ $self->{rows}{$type} })
		{
			next if $came->{$type}{$id} || $self->{dirty}{$type}{$id};
			delete $self->{rows}{$type}{$id};
			$dropped++;
		}
	}
	return $dropped;
}

# The user does not want an edit any more.
sub discard
{
	my ($self, $type, $id) = @_;

	$self->trace("$self->{name} discards its edit of $type " . short($id));
	delete $self->{dirty}{$type}{$id};
	delete $self->{rows}{$type}{$id};
	$self->save;
}

sub row
{
	my ($self, $type, $id) = @_;

	return $self->{rows}{$type}{$id};
}

sub rows
{
	my ($self, $type) = @_;

	return $type ? values %{ $self->{rows}{$type} } : map { values %$_ } values %{ $self->{rows} };
}

# The id of a row by the value of a column, the first by id.
sub find
{
	my ($self, $type, $column, $value) = @_;
	my $rows = $self->{rows}{$type};
	my ($id) = grep { $rows->{$_}{$column} eq $value } sort keys %$rows;

	return $id // die "$self->{name} has no $type whose $column is $value\n";
}

# All rows, for comparison: by type and id, columns in order.
sub state
{
	my $self = shift;

	return $json->encode({ map { $_ => $self->{rows}{$_} }
			grep { %{ $self->{rows}{$_} } } keys %{ $self->{rows} } });
}

sub save
{
	my $self = shift;

	open my $file, '>', $self->{file} or die "$self->{file}: $!\n";
	print $file $json->encode({ map { $_ => $self->{$_} } qw(rows dirty cursor) });
	close $file or die "$self->{file}: $!\n";
}

1;
