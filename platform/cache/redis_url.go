package cache

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"integration-gateway/platform/hostlist"
)

// The URL's parameters for Sentinel and Cluster; all others are those of redis.ParseURL.
const (
	masterName       = "master_name"
	sentinelUsername = "sentinel_username"
	sentinelPassword = "sentinel_password"
	clusterMode      = "cluster"
)

// parseRedisURL reads the URL of one server, of Sentinels (with master_name) or of a cluster
// (several hosts without it, or cluster=true). Its errors contain no password.
// https://redis.io/docs/latest/develop/reference/sentinel-clients/
func parseRedisURL(text string) (*redis.UniversalOptions, error) {
	urls := hostlist.URLs(text)
	var into *redis.UniversalOptions
	for _, one := range urls {
		own, err := parseOneRedis(one, len(urls) > 1)
		if err != nil {
			return nil, err
		}
		if into == nil {
			into = own
		} else {
			into.Addrs = append(into.Addrs, own.Addrs...)
		}
	}
	if into.IsClusterMode && into.DB != 0 {
		return nil, errors.New("a cluster has only database 0; leave out the number, or add master_name=NAME if the hosts are Sentinels")
	}
	if into.TLSConfig != nil && (into.IsClusterMode || into.MasterName != "") {
		into.TLSConfig.ServerName = "" // each server has its own
	}
	return into, nil
}

func parseOneRedis(text string, oneOfList bool) (*redis.UniversalOptions, error) {
	u, err := url.Parse(text)
	if err != nil { // its text contains the URL with the password
		return nil, errors.New("not well-formed")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, errors.New("its parameters are not well-formed")
	}
	if oneOfList && u.Hostname() == "" {
		return nil, errors.New("an empty host between commas; write redis://host1:6379,host2:6379")
	}
	into := &redis.UniversalOptions{}
	if err := takeModes(query, into, oneOfList); err != nil {
		return nil, err
	}
	u.RawQuery = query.Encode()
	o, err := redis.ParseURL(u.String())
	if err != nil {
		var parse *url.Error
		if errors.As(err, &parse) {
			err = errors.New("not well-formed")
		}
		return nil, err
	}
	into.Addrs = []string{o.Addr}
	if into.MasterName != "" && u.Port() == "" {
		into.Addrs = []string{strings.TrimSuffix(o.Addr, ":6379") + ":26379"} // a Sentinel's port
	}
	copyOptions(into, o)
	return into, nil
}

// takeModes reads and removes the parameters that redis.ParseURL does not know.
func takeModes(query url.Values, into *redis.UniversalOptions, oneOfList bool) error {
	into.MasterName = query.Get(masterName)
	into.SentinelUsername, into.SentinelPassword = query.Get(sentinelUsername), query.Get(sentinelPassword)
	switch value := query.Get(clusterMode); {
	case query.Has(masterName) && into.MasterName == "":
		return errors.New("master_name is empty; write the name that the Sentinels monitor")
	case into.MasterName == "" && (query.Has(sentinelUsername) || query.Has(sentinelPassword)):
		return errors.New("sentinel_username and sentinel_password have no effect without master_name")
	case query.Has(clusterMode) && value != "true" && value != "false":
		return fmt.Errorf("cluster is %q; write true or false", value)
	case into.MasterName != "" && value == "true":
		return errors.New("master_name is for Sentinels and cluster=true for a cluster; leave one out")
	case oneOfList && into.MasterName == "" && value == "false":
		return errors.New("several hosts are a cluster, or Sentinels with master_name=NAME; cluster=false fits neither")
	default:
		into.IsClusterMode = value == "true" || oneOfList && into.MasterName == ""
	}
	for _, name := range []string{masterName, sentinelUsername, sentinelPassword, clusterMode} {
		query.Del(name)
	}
	return nil
}

// copyOptions copies what a URL may set.
func copyOptions(into *redis.UniversalOptions, o *redis.Options) {
	into.Username, into.Password, into.DB = o.Username, o.Password, o.DB
	into.ClientName, into.IdentitySuffix = o.ClientName, o.IdentitySuffix
	into.PoolFIFO, into.PoolSize, into.MaxConcurrentDials = o.PoolFIFO, o.PoolSize, o.MaxConcurrentDials
	into.MinIdleConns, into.MaxIdleConns, into.MaxActiveConns = o.MinIdleConns, o.MaxIdleConns, o.MaxActiveConns
	into.ConnMaxIdleTime, into.ConnMaxLifetime, into.ConnMaxLifetimeJitter = o.ConnMaxIdleTime, o.ConnMaxLifetime, o.ConnMaxLifetimeJitter
	into.PipelinePoolSize = o.PipelinePoolSize
	into.PipelineReadBufferSize, into.PipelineWriteBufferSize = o.PipelineReadBufferSize, o.PipelineWriteBufferSize
	if o.TLSConfig != nil {
		into.TLSConfig = &tls.Config{ServerName: o.TLSConfig.ServerName, MinVersion: o.TLSConfig.MinVersion,
			InsecureSkipVerify: o.TLSConfig.InsecureSkipVerify} //nolint:gosec // skip_verify, as the URL says
	}
}

// newClient connects on first use. One call has one deadline and one attempt.
func newClient(o *redis.UniversalOptions, cfg RedisConfig) redis.UniversalClient {
	o.Protocol = 2
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	o.ContextTimeoutEnabled = true
	o.MaxRetries = -1
	o.DialerRetries = 1
	o.DialTimeout = dialTimeout
	o.ReadTimeout = pingTimeout // the contexts are stricter
	o.WriteTimeout = pingTimeout
	o.PoolTimeout = cfg.OpTimeout
	return redis.NewUniversalClient(o)
}
