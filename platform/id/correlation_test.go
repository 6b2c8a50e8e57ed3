package id

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAnEventAndItsCorrelationIDAreMadeOfEachOther(t *testing.T) {
	correlation := NewCorrelation()
	event := EventOf(correlation)
	require.True(t, Valid(event))
	require.NotEqual(t, correlation, event)
	require.Equal(t, correlation, OfEvent(event))
	require.Equal(t, Time(correlation), Time(event))
	require.True(t, Generated(correlation))
	for _, foreign := range []string{"", "trace-1", event, NewEvent(), correlation + "2"} {
		require.Empty(t, EventOf(foreign), foreign)
	}
	require.NotEqual(t, NewEvent(), NewEvent())
	require.Equal(t, event, EventOf(OfEvent(event)))
}
